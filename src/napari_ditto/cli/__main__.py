"""``python -m napari_ditto.cli``."""

import sys

from napari_ditto.cli.program import main

sys.exit(main())
