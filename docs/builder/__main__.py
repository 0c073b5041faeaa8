"""Build the site in both languages: python -m docs.builder.

English is written to docs/_build/html, and Korean to docs/_build/html/ko. Every warning is an error. While you
write, --keep builds only the pages that have changed, and --language ko only one language.
"""

import argparse
import shutil
import sys

from sphinx.cmd.build import build_main

from docs.builder import sources


def main() -> int:
    """Write the sources, and run Sphinx on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--language", choices=sources.LANGUAGES, action="append")
    parser.add_argument(
        "--keep", action="store_true", help="keep what is built, and build what has changed"
    )
    args = parser.parse_args()
    build = sources.DOCS / "_build"
    if not args.keep:
        shutil.rmtree(build, ignore_errors=True)
    for language in args.language or sources.LANGUAGES:
        folder = build / "sources" / language
        sources.write(language, folder)
        if language == sources.ENGLISH:
            out = build / "html"
        else:
            out = build / "html" / language
        flags = ["--fail-on-warning", "--nitpicky", "--quiet", "--builder", "html"]
        flags += [
            "--conf-dir",
            str(sources.DOCS),
            "--doctree-dir",
            str(build / "doctrees" / language),
        ]
        ended = build_main(
            [*flags, "--define", f"language={language}", "--tag", language, str(folder), str(out)]
        )
        if ended:
            return ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
