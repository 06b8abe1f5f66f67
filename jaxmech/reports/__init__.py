"""What results look like, as text and as pictures: imported by no other room when it is imported."""
