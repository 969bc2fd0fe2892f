"""Human video to training labels and demonstrations."""
