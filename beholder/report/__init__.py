"""The report of a sound study: one HTML file, or its figures as PDF or PNG. Needs matplotlib."""
