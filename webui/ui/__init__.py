"""The Gradio page. It only builds requests, hands them to the job service and shows what comes back."""
