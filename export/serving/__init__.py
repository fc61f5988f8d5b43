"""A local web server: the page that draws in a browser, and a bundle's files for it and for phones."""
