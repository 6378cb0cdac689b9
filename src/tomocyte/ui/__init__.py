"""Windows on the public functions: what a person sees and clicks. No science, no files but through other rooms."""
