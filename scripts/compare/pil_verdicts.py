"""Checks whether PIL can read image files: whether Image.load() reads them to the end.

    python3 scripts/compare/pil_verdicts.py < FILES

Each line of FILES is a JSON string: the content of one file in base64. For each line it prints a line of JSON: true if PIL
can read the file.
Needs Pillow (Debian: python3-pil).
"""

import base64
import io
import json
import sys
import warnings

from PIL import Image

warnings.simplefilter("ignore")


def reads(data):
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            image.convert("RGB")
        return True
    except Exception:  # PIL raises many exception classes: OSError, SyntaxError, ValueError, struct.error, ...
        return False


for line in sys.stdin:
    print(json.dumps(reads(base64.b64decode(json.loads(line)))), flush=True)
