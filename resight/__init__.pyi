import resight.explain.explaining as _explaining
import resight.match.finding as _finding

from ._version import __version__ as __version__
from .errors import ImageError as ImageError
from .errors import InputError as InputError
from .errors import WorkError as WorkError
from .explain.heat import Heat as Heat
from .features.config import EncoderConfig as EncoderConfig
from .features.dense_sift import DenseSift as DenseSift
from .features.dense_sift import dense_sift as dense_sift
from .features.dense_sift import dense_sift_frames as dense_sift_frames
from .features.dense_sift import sift_statistics as sift_statistics
from .features.encoder import Encoder as Encoder
from .features.fractal import Fractal as Fractal
from .features.fractal import box_counting as box_counting
from .features.fractal import differential_box_counting as differential_box_counting
from .features.fractal import fractal as fractal
from .features.fractal import local_dimension as local_dimension
from .images.listing import list_images as list_images
from .images.read import read_image as read_image
from .match.finding import Finder as Finder
from .match.finding import match_all as match_all
from .match.result import Match as Match
from .match.template import Template as Template
from .search.collection import Collection as Collection
from .search.ranking import Ranking as Ranking
from .tables.extract import extract as extract
from .tables.formats import open_table as open_table
from .tables.formats import open_writer as open_writer

explain = _explaining.explain
match = _finding.match
