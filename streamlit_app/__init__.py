"""The dashboard. app.py is what Streamlit runs; data.py alone reads the database; pages/ has a file for each page."""
