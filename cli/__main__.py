"""`python -m shimzoo.cli`."""

import sys

from . import main

sys.exit(main())
