"""Make the site: the sources of each language, in one folder each, and Sphinx.

names.py        the public names of xpnet, and the chapter in which each is described
reference.py    a page for each chapter, and one for the command line
docstrings.py   docstrings, which are plain text, as reStructuredText
sources.py      the folder from which Sphinx builds one language
__main__.py     python -m docs.builder
"""
