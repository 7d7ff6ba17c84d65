"""The leaderboard of a study: its figures and ranks, what people read of it, and one file a format."""

from search.leaderboard.board import leaderboard as leaderboard
from search.leaderboard.machine import to_csv as to_csv
from search.leaderboard.machine import to_json as to_json
from search.leaderboard.machine import to_parquet as to_parquet
from search.leaderboard.markdown import to_markdown as to_markdown
from search.leaderboard.sheet import OWN as OWN
from search.leaderboard.sheet import cells as cells
from search.leaderboard.sheet import shown as shown
from search.means import MIN_ROOTS_FOR_INTERVAL as MIN_ROOTS_FOR_INTERVAL
from search.means import PRECISION as PRECISION
from search.means import half_width as half_width
