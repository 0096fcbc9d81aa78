"""What is asked for: fields, files, folders, modules."""
