"""``python -m gridcode`` is ``gridcode``."""

import sys

from gridcode.cli.main import main

sys.exit(main())
