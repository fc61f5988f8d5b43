"""The backend of Core AI, Apple's successor of Core ML (iOS and macOS 27): `.aimodel` programs."""
