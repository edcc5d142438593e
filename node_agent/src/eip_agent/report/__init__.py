"""What the node says: composes reports and hands the newest one to EventBridge."""
