package provider

// Parse reads a table as the embedded one is read.
func Parse(text string) (*Table, error) { return parse([]byte(text)) }
