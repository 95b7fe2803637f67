"""From numbers with intervals to what people read: CSV, Markdown and LaTeX tables, figures, a terminal view."""
