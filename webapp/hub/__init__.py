"""The Hugging Face Hub: finding models, looking at one before it is fetched, fetching it. What is here needs no network."""
