"""Steps that clients and workers take, as values: what the machine draws and scenarios list.

Steps name queries and workers by small numbers, and attempts by query, stage and number, so that a
list of steps keeps its meaning when some are left out; that is how a failing list is shortened.
"""

from ffq.testing.steps.clients import Cancel as Cancel
from ffq.testing.steps.clients import Malformed as Malformed
from ffq.testing.steps.clients import Results as Results
from ffq.testing.steps.clients import Status as Status
from ffq.testing.steps.clients import Submit as Submit
from ffq.testing.steps.clients import SubmitBytes as SubmitBytes
from ffq.testing.steps.ending import RunToEnd as RunToEnd
from ffq.testing.steps.ending import UseAllSlots as UseAllSlots
from ffq.testing.steps.player import At as At
from ffq.testing.steps.player import Player as Player
from ffq.testing.steps.player import Step as Step
from ffq.testing.steps.player import output as output
from ffq.testing.steps.waiting import Ask as Ask
from ffq.testing.steps.waiting import Keep as Keep
from ffq.testing.steps.waiting import Publish as Publish
from ffq.testing.steps.waiting import Tell as Tell
from ffq.testing.steps.waiting import Wait as Wait
from ffq.testing.steps.workers import Await as Await
from ffq.testing.steps.workers import Beat as Beat
from ffq.testing.steps.workers import Claim as Claim
from ffq.testing.steps.workers import Complete as Complete
from ffq.testing.steps.workers import FailOften as FailOften
from ffq.testing.steps.workers import Fetch as Fetch
from ffq.testing.steps.workers import Pull as Pull
from ffq.testing.steps.workers import Register as Register
from ffq.testing.steps.workers import Report as Report
from ffq.testing.steps.workers import Twice as Twice
from ffq.testing.steps.workers import Upload as Upload
from ffq.testing.steps.workers import Work as Work
from ffq.testing.steps.workers import WorkOne as WorkOne
