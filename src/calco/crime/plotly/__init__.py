"""The part of Plotly that the page of charts needs, made by tools/plotly_bundle.py; its licences stand in it."""
