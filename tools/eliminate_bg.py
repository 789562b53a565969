"""Eliminate the background of images: python tools/eliminate_bg.py [[CONFIG CHECKPOINT] INPUT...] [options]"""

import sys

from solo_bg.cli.main import main

sys.exit(main())
