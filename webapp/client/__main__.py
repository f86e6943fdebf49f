"""`python -m webapp.client`: what `./progeny login`, `runs`, `watch`, `download` and `import` run."""

import sys

from webapp.client.main import main

sys.exit(main(sys.argv[1:]))
