import sys

from solo_bg.cli import main

sys.exit(main())
