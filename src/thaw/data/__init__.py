"""Images: decoding, the manifest, the packed store, loading and augmentation."""
