"""An Ollama server that says what a test wants: real HTTP, scripted replies."""
