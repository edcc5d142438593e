"""What follows from what is known: pure functions of one `Sight`, without clock or I/O."""
