"""One run of main.py: started, limited in time, ended, swept."""
