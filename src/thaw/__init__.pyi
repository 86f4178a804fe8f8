from thaw.api import Project as Project
from thaw.api import load_model as load_model
from thaw.errors import ThawError as ThawError

__version__: str
