"""Messages between nodes, each delivered once and in order, or given back as lost: sessions, packets and streams."""
