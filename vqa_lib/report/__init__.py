"""One static site of the run folders: every table and figure with its status, its runs, its numbers and where they come
from. It needs no server and nothing from elsewhere."""
