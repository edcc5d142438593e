"""Everything that runs the project on one machine: nothing in here is deployed."""
