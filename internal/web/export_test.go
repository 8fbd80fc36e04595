package web

// AccessOf makes an Access of group numbers, which need not exist.
func AccessOf(readers, admins []uint32) Access { return Access{readers: readers, admins: admins} }
