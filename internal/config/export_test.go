package config

// AllKeys lists every key of the file as "section.name".
var AllKeys = allKeys

// CheckCron is the check of cron specs.
var CheckCron = checkCron
