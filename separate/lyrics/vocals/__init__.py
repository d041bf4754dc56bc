"""From a recording to mixture and vocals at 16 kHz."""
