"""What Azure says that no program declares: quota, sizes on offer, what runs, rights and registrations."""
