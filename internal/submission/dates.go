package submission

import "time"

func (l *letter) dates(v *verdict, r *Result, sent time.Time, loc *time.Location) {}
