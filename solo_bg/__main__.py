"""`python -m solo_bg`: the command `eliminate_bg`; `python -m solo_bg serve`: the server."""

import sys

from solo_bg.cli.main import main

if sys.argv[1:2] == ['serve']:
    from solo_bg.web.main import main as serve

    sys.exit(serve(sys.argv[2:]))
sys.exit(main())
