"""To the second and on 24 hours: a call is told in seconds. What is not named here is as Django has it."""

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s"
