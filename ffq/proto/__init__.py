"""The wire: .proto files, the code generated from them, and its map to values (`codec`)."""
