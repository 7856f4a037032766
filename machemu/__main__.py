"""`python -m machemu`."""

import sys

from machemu.ui.cli import main

sys.exit(main())
