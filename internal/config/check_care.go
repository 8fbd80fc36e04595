package config

import (
	"fmt"
	"time"
)

// care adds what looks after the vault to v: the folders and times of [vault].
func (c *checker) care(v Vault) Vault {
	r := c.raw.Vault
	// Folders for data, not credentials: never looked for among those.
	if r.TouchDir != "" {
		v.TouchDir = resolve(r.TouchDir, c.dir, "")
	}
	if r.BackupDir != "" {
		v.BackupDir = resolve(r.BackupDir, c.dir, "")
	}
	v.BackupSchedule = c.cron("vault.backup_schedule", r.BackupSchedule)
	if r.BackupKeep < 1 || r.BackupKeep > 10000 {
		c.fail("vault.backup_keep", fmt.Sprintf("is %d", r.BackupKeep), "want 1 to 10000")
	}
	v.BackupKeep = int(r.BackupKeep)
	v.DestroyAfter = c.duration("vault.destroy_after", r.DestroyAfter, 0, 3650*24*time.Hour)
	return v
}
