package inbox

import (
	"context"
	"net"
)

// LoginOver is Dial over a connection that is already there, without TLS.
func LoginOver(ctx context.Context, c Config, conn net.Conn) (*Session, error) {
	tcp := &countedConn{Conn: conn}
	return login(ctx, c.withDefaults(), tcp, tcp)
}

var (
	FolderName  = folderName
	LiteralSize = literalSize
	MessageID   = messageID
)
