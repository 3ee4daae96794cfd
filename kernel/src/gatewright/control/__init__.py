"""What reaches the supervisor from outside: commands, and changes of files."""
