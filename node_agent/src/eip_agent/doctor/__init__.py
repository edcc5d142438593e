"""`eip-agent doctor`: would a failover work now, and what to do where it would not.

`cluster`, `region` and `local` judge what they are given and run nothing; `command` asks the
programs and services for it, and prints. Only the doctor imports this: the agent stays small.
"""
