"""Make the site: the sources of each language, in one folder each, and Sphinx.

    names.py        the public names of xpnet, and the chapter in which each is described
    reference.py    a page for each chapter, and one for the command line
    docstrings.py   docstrings, which are plain text, as reStructuredText
    korean.py       the words of Korean pages, as they are searched for
    gallery.py      a page, a picture and a notebook of each program in examples/gallery
    sources.py      the folder from which Sphinx builds one language
    __main__.py     python -m docs.builder

To add
------
A page: docs/NAME.md. It appears in How-to; or name it in the table of contents of another page.
A lesson: docs/lessons/NAME.md, named in the table of contents of docs/lessons/index.md, in both languages.
A program of the gallery: examples/gallery/NAME.py, named in gallery.py, and then: python -m docs.builder.gallery NAME.
A Korean page: docs/ko/ and the path of the English page, with the same headings and the same code. Links to names
are the same roles. Pictures, and pages that are not translated yet, are linked where they are, as ../tables.md, without
an anchor: so the links also work in a clone.
A public name: nothing; if it is in a new module, a chapter in names.py.

Python code in pages is run by the page's own test, or by tests/docs/test_pages.py if it is named there.
"""
