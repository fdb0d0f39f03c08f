"""Open311 GeoReport v2 with mySociety's servicerequestupdates: the same way in, and what may be read in public.

`way_in` and what it imports serve the receiver and need no database; `reading` and `updates` belong to the desk.
"""
