"""What is measured, one module for each part of AWS; `acceptance.order` has the order."""
