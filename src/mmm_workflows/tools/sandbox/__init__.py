"""What holds generated code: bubblewrap, and a guard inside the child that works without it."""
