"""Family `classic`: segmentation by prompt and by example without weights and without torch."""
