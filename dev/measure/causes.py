"""Why a bar was not held, by its name in `page.judge`: what was found out by looking, for the page."""

CAUSES = {}
