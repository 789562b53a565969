import sys

from solo_bg.cli.main import main

sys.exit(main())
