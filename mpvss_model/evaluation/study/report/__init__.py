"""``mpvss study``: tables, plots and pictures of what `mpvss_model.evaluation.study` measures."""
