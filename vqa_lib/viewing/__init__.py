"""What people look at rather than read: clips beside what models say of them, in JupyterLab or as a page."""
